# the day with log_line_prefix = '%m [%p] %q%u@%d '
settings=('log_line_prefix=%m [%p] %q%u@%d ') keep=(stderr)
play() { play_of day; }
