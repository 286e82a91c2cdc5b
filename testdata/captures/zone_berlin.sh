# log_timezone=Europe/Berlin: an abbreviation (CET or CEST)
settings=(log_timezone=Europe/Berlin)
play() { session ana -c 'select 1'; PGPASSWORD=wrong remote ana -c 'select 2'; }
