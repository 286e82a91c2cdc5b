# log_timezone=Asia/Kolkata: an ambiguous abbreviation (IST) with half an hour
settings=(log_timezone=Asia/Kolkata)
play() { session ana -c 'select 1'; PGPASSWORD=wrong remote ana -c 'select 2'; }
