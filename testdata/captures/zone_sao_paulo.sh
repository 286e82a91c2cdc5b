# log_timezone=America/Sao_Paulo: a zone without a name of its own (-03)
settings=(log_timezone=America/Sao_Paulo)
play() { session ana -c 'select 1'; PGPASSWORD=wrong remote ana -c 'select 2'; }
