# the topic errors with pgaudit.log_rows=off: rows come before the statement runs, not after it
settings=(pgaudit.log_rows=off)
play() { play_of errors; }
