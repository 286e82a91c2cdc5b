# the day with log_line_prefix = '%t:%r:%u@%d:[%p]:'
settings=('log_line_prefix=%t:%r:%u@%d:[%p]:') keep=(stderr)
play() { play_of day; }
