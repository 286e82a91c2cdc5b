# the day with log_line_prefix = ''
settings=('log_line_prefix=') keep=(stderr)
play() { play_of day; }
