# the day with log_line_prefix = '%t-%c-'
settings=('log_line_prefix=%t-%c-') keep=(stderr)
play() { play_of day; }
