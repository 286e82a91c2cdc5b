# syslog_split_messages=off: one syslog message, newlines become #012
settings=(syslog_split_messages=off) keep=(syslog)
play() { play_of day; }
