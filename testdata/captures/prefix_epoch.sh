# the day with log_line_prefix = '%n %p %e %b|%i|%P|%Q|%v|%x|%s|%% '
settings=('log_line_prefix=%n %p %e %b|%i|%P|%Q|%v|%x|%s|%% ') keep=(stderr)
play() { play_of day; }
