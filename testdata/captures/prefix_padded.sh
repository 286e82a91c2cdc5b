# the day with log_line_prefix = '%m %8p %-12u|%12d|%-6e '
settings=('log_line_prefix=%m %8p %-12u|%12d|%-6e ') keep=(stderr)
play() { play_of day; }
