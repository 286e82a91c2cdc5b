# the topic attack_tampering with pgaudit.log_rows=off
settings=(pgaudit.log_rows=off)
play() { play_of attack_tampering; }
