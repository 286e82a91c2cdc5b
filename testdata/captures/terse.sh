# log_error_verbosity=terse: no DETAIL, HINT, QUERY or CONTEXT
settings=(log_error_verbosity=terse)
play() { play_of day; }
