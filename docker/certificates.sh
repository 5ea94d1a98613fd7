#!/bin/sh
# Makes the certificates with which our containers prove themselves to each other, from a private authority. Runs at each start, and replaces a
# certificate that ends within 180 days. The authority's key stays in `authority`, which no other container mounts. Each server has a folder of
# its own, with its certificate and key; all folders, and `ca`, have the authority's certificate.
set -eu
root=${1:-/certificates}
umask 022

create_authority() {
	[ -s "$root/authority/ca.key" ] && return
	(umask 077 && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$root/authority/new.key")
	openssl req -x509 -new -key "$root/authority/new.key" -days 7300 -subj "/CN=Tributary's containers" -out "$root/authority/ca.crt" \
		-addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign
	mv "$root/authority/new.key" "$root/authority/ca.key"
}

# issue FOLDER OWNER NAME...: a certificate for a server with these host names, unless it has one.
issue() {
	folder=$root/$1 owner=$2
	shift 2
	cp "$root/authority/ca.crt" "$folder/ca.crt"
	if openssl x509 -in "$folder/tls.crt" -noout -checkend 15552000 && openssl verify -CAfile "$folder/ca.crt" "$folder/tls.crt"; then
		return
	fi >/dev/null 2>&1
	names=$(printf ',DNS:%s' "$@" localhost)
	(umask 077 && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/new.key")
	openssl req -x509 -new -key "$folder/new.key" -CA "$root/authority/ca.crt" -CAkey "$root/authority/ca.key" -days 730 -subj "/CN=$1" \
		-addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth \
		-addext "subjectAltName=${names#,},IP:127.0.0.1" -out "$folder/new.crt"
	chown "$owner" "$folder/new.key"
	mv "$folder/new.key" "$folder/tls.key"
	mv "$folder/new.crt" "$folder/tls.crt"
	echo "Issued a certificate for $*"
}

create_authority
cp "$root/authority/ca.crt" "$root/ca/ca.crt"
# The users of the images of PostgreSQL and Redis, and of our own.
issue postgres "${POSTGRES_UID:-999}" postgres
issue redis "${REDIS_UID:-999}" redis
issue gateway "${TRIBUTARY_UID:-10001}" gateway gateway-2
issue api-server "${TRIBUTARY_UID:-10001}" api-server
issue object-store "${TRIBUTARY_UID:-10001}" object-store
