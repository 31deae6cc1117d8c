# Succeed if the front door leads to a replica that is ready: the health check, with nothing but bash.
exec 3<>/dev/tcp/127.0.0.1/8000
printf 'GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
read -r -t 3 _ status _ <&3
[ "$status" = 200 ]
