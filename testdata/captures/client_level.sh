# pgaudit.log_client=on with log_level=notice: audit rows are NOTICE, not LOG
settings=(pgaudit.log_client=on pgaudit.log_level=notice log_min_messages=notice)
play() { play_of day; }
