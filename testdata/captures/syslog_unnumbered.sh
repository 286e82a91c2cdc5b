# syslog_sequence_numbers=off
settings=(syslog_sequence_numbers=off) keep=(syslog)
play() { play_of day; }
