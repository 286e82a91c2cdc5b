# rsyslog without escaping of control characters: raw TABs
keep=(syslog) syslog=tabs
play() { play_of day; }
