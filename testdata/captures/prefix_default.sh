# the day with log_line_prefix = '%m [%p] '
settings=('log_line_prefix=%m [%p] ') keep=(stderr)
play() { play_of day; }
