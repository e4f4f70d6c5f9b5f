# SPDX-License-Identifier: GPL-2.0-or-later
# Each of OpenSSL's digests, MACs and ciphers on the same data, signatures, its own speed test as a check of the vector code.
set -eu
seq 1 20000 >data
for name in md5 sha1 sha224 sha256 sha384 sha512 sha512-256 sha3-224 sha3-256 sha3-512 shake128 blake2b512 blake2s256 sm3 rmd160; do
    openssl dgst "-$name" data || echo "$name: none"
done
for name in aes-128-cbc aes-192-ctr aes-256-cbc aes-256-ctr aes-128-ofb aes-256-cfb8 aria-256-cbc camellia-128-cbc chacha20 \
    des-ede3-cbc sm4-cbc; do
    openssl enc "-$name" -K 000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f -iv 0f0e0d0c0b0a09080706050403020100 \
        -in data -out "$name.enc" 2>/dev/null
    openssl enc -d "-$name" -K 000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f \
        -iv 0f0e0d0c0b0a09080706050403020100 -in "$name.enc" 2>/dev/null | cmp - data
    sha256sum "$name.enc"
done
openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt cipher:AES-128-CBC -in data CMAC
openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f -in data Poly1305
openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt pass:password -kdfopt salt:salt -kdfopt iter:20000 PBKDF2
# FIPS 197, C.1; FIPS 180-2, B.1
printf '\000\021\042\063\104\125\146\167\210\231\252\273\314\335\356\377' |
    openssl enc -aes-128-ecb -nopad -K 000102030405060708090a0b0c0d0e0f | od -An -tx1
printf abc | openssl dgst -sha256
for kind in 'RSA -pkeyopt rsa_keygen_bits:2048' 'EC -pkeyopt ec_paramgen_curve:P-256' ED25519; do
    # shellcheck disable=SC2086
    openssl genpkey -algorithm $kind -out key 2>/dev/null
    openssl pkey -in key -pubout -out public
    openssl pkeyutl -sign -rawin -in data -inkey key -out signature
    openssl pkeyutl -verify -rawin -in data -inkey public -pubin -sigfile signature
done
openssl speed -seconds 1 -evp aes-128-gcm >/dev/null 2>&1 && echo speed
