# log_error_verbosity=verbose: SQLSTATE in the message, LOCATION lines
settings=(log_error_verbosity=verbose)
play() { play_of day; }
