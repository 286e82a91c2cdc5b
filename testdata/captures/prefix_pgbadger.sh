# the day with log_line_prefix = '%t [%p]: user=%u,db=%d,app=%a,client=%h '
settings=('log_line_prefix=%t [%p]: user=%u,db=%d,app=%a,client=%h ') keep=(stderr)
play() { play_of day; }
