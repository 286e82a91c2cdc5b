# the topic copy with pgaudit.log_rows=off
settings=(pgaudit.log_rows=off)
play() { play_of copy; }
