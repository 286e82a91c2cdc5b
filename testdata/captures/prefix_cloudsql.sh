# the day with log_line_prefix = '%m [%p]: [%l-1] db=%d,user=%u '
settings=('log_line_prefix=%m [%p]: [%l-1] db=%d,user=%u ') keep=(stderr)
play() { play_of day; }
