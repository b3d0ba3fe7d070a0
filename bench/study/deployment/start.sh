# What the containers run. The first start restores study.zip into the database; later ones find the study there.
set -eu
study=/srv/facesr/study
database=postgresql://facesr@database/facesr
case "$1" in
serve)
    test -e "$study/study.json" || facesr study restore /study.zip --out "$study" --database "$database"
    # nothing but the proxy's container reaches this port, so the addresses it forwards are believed
    exec facesr study serve "$study" --database "$database" --host 0.0.0.0 --port 8501 --proxies '*'
    ;;
backup)
    while true; do
        sleep $(((97200 - $(date -u +%s) % 86400) % 86400)) # until three o'clock, UTC
        facesr study backup "$study" --database "$database" --to /backups --keep 30 || echo "the backup failed" >&2
        sleep 60
    done
    ;;
*)
    exec facesr study "$@"
    ;;
esac
