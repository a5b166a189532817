"""Where webhooks may go: every way to spell or hide an address that is not public."""

import ipaddress
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.delivery import addresses
from orchestrator.delivery.addresses import (
    AddressRefused,
    allowed_addresses,
    checked_at_registration,
    is_public,
    refusal,
    target,
)
from orchestrator.domain.errors import InvalidInput
from tests.ledger import ledger

PUBLIC = "93.184.216.34"
PRIVATE_NETWORKS = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
NOT_PUBLIC_IPV6 = [
    "::",
    "::1",
    "::7f00:1",
    "::5db8:d822",  # IPv4-compatible
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "::ffff:0:5db8:d822",  # IPv4-translated
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::5db8:d822",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:5db8:d822::1",  # Teredo
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


async def nowhere(host: str, port: int) -> list[str]:
    return []


async def never(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


def at(*found: str) -> addresses.Resolve:
    async def resolve(host: str, port: int) -> list[str]:
        return list(found)

    return resolve


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "//example.com/",
        "example.com/hook",
        "",
        "http://",
        "http:///path",
        "http:example.com",
        "http://user@example.com/",
        "http://user:word@example.com/",
        "http://:@example.com/",
        "http://127.0.0.1\\@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:-1/",
        "http://example.com:port/",
        "http://exa mple.com/",
        "http://exa\nmple.com/",
        "http://%31%32%37.0.0.1/",
        "http://.example.com/",
        "http://example..com/",
        "http://example.com../",
        "http://./",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.x]/",
        "http://１２７.0.0.1/",
        "http://ⓛⓞⓒⓐⓛhost/",
        "http://exa,mple.com/",
        "https://example.com/" + "x" * 2048,
    ],
)
@pytest.mark.parametrize("allow_private", [True, False])
async def test_a_url_of_another_shape_is_refused_in_any_case(url: str, allow_private: bool):
    assert await refusal(url, allow_private=allow_private, resolve=at(PUBLIC))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0X7F.1",
        "0x7f.0.0.0x1",
        "0177.0.0.1",
        "00000177.0.0.01",
        "127。0。0。1",
        "127．0．0．1",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "192.168.257",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.88.99.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "a.b.localhost.",
        "localhost.localdomain",
        *(f"[{address}]" for address in NOT_PUBLIC_IPV6),
        "[::FFFF:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[0:0:0:0:0:0:0:1]",
    ],
)
async def test_what_spells_no_public_address_is_refused_without_a_look_up(host: str):
    assert await refusal(f"http://{host}:8080/hook", allow_private=False, resolve=never)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "localhost", "10.0.0.1", "[::1]", "[fe80::1]"])
async def test_private_addresses_are_taken_where_they_are_allowed(host: str):
    assert await refusal(f"http://{host}:8080/hook", allow_private=True, resolve=nowhere) is None


@pytest.mark.parametrize(
    "host",
    [PUBLIC, "8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]", "[64:ff9b::808:808]", "[2002:808:808::1]", "1.1"],
)
async def test_a_public_address_is_taken(host: str):
    assert await refusal(f"https://{host}/", allow_private=False, resolve=never) is None


@pytest.mark.parametrize("found", [(PUBLIC,), (PUBLIC, "2606:4700::1111"), ()])
@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/in?key=1#f",
        "HTTP://EXAMPLE.COM:65535",
        "https://example.com.:8443/",
        "https://bücher.example/",
        "https://a_b.example/",
        "https://localhost.example.com/",
        "https://notlocalhost/",
    ],
)
async def test_a_public_name_is_taken_and_one_that_does_not_resolve_too(url: str, found: tuple[str, ...]):
    assert await refusal(url, allow_private=False, resolve=at(*found)) is None


@pytest.mark.parametrize("private", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "fe80::1%eth0", *NOT_PUBLIC_IPV6, "?"])
async def test_one_address_that_is_not_public_among_several_is_one_too_many(private: str):
    for found in ((private,), (PUBLIC, private), (private, PUBLIC), (PUBLIC, "2606:4700::1111", private)):
        fault = await refusal("https://hooks.example.com/", allow_private=False, resolve=at(*found))
        assert fault == "hooks.example.com is not at a public address"
    assert await refusal("https://hooks.example.com/", allow_private=True, resolve=at(PUBLIC, private)) is None


@ledger("D-098")
async def test_a_refusal_at_registration_names_the_field():
    with pytest.raises(InvalidInput) as raised:
        await checked_at_registration("http://hooks.example.com/", False, resolve=at("10.0.0.7"))
    details = raised.value.details
    assert (details["field"], details["provided"]) == ("url", "http://hooks.example.com/")
    assert details["expected"]
    assert "10.0.0.7" not in raised.value.message
    await checked_at_registration("http://hooks.example.com/", True, resolve=at("10.0.0.7"))
    await checked_at_registration("http://hooks.example.com/", False, resolve=nowhere)


ipv4_outside = st.sampled_from(PRIVATE_NETWORKS).flatmap(lambda network: st.ip_addresses(network=network))


@given(ipv4_outside, st.data())
async def test_no_spelling_gets_a_private_address_through(address: ipaddress.IPv4Address, data: st.DataObject):
    number, parts = int(address), address.packed
    one = data.draw(st.sampled_from([str, hex, lambda n: f"0{n:o}", lambda n: f"0x{n:08X}"]), label="spelling")
    spellings = [
        one(number),
        f"{one(parts[0])}.{one(number & 0xFFFFFF)}",
        f"{one(parts[0])}.{one(parts[1])}.{one(number & 0xFFFF)}",
        ".".join(one(part) for part in parts),
        f"[::ffff:{address}]",
        f"[64:ff9b::{address}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::{data.draw(st.integers(0, 65535)):x}]",
        f"[::{address}]",
    ]
    for host in spellings:
        assert await refusal(f"http://{host}/", allow_private=False, resolve=never), host


@given(st.text("0123456789abcdefxX.", min_size=1, max_size=16))
@settings(max_examples=400)
async def test_whatever_the_resolver_takes_for_an_address_is_checked_as_that(host: str):
    try:
        entries = socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return
    meant = str(entries[0][4][0])
    try:
        to = target(f"http://{host}/")
    except AddressRefused:
        return  # its shape alone rules it out
    if is_public(meant):
        assert await allowed_addresses(to, allow_private=False, resolve=never) == [meant]
    else:
        with pytest.raises(AddressRefused):
            await allowed_addresses(to, allow_private=False, resolve=never)


@given(st.ip_addresses(v=4).filter(lambda address: address.is_global))
def test_an_ipv6_form_is_as_public_as_its_ipv4_address(address: ipaddress.IPv4Address):
    number = int(address)
    for prefix in (0xFFFF << 32, 0x64FF9B << 96):
        assert is_public(str(ipaddress.IPv6Address(prefix | number))) == is_public(str(address))


@given(st.ip_addresses(v=6))
def test_only_global_unicast_or_what_a_gateway_translates_is_public(address: ipaddress.IPv6Address):
    if is_public(str(address)):
        assert (
            address in ipaddress.IPv6Network("2000::/3") or address.ipv4_mapped or int(address) >> 32 == 0x64FF9B << 64
        )


@given(
    st.one_of(st.text(), st.text().map("http://".__add__), st.text("[]:@/.%\\0afx", max_size=20).map("http://".__add__))
)
@settings(max_examples=400)
async def test_no_text_is_a_fault(url: str):
    fault = await refusal(url, allow_private=False, resolve=nowhere)
    assert fault is None or isinstance(fault, str)
