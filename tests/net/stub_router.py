"""A router's own word, played: SSDP, UPnP's HTTP, NAT-PMP and PCP on loopback, honest or hostile. Notes whatever it was asked."""

import asyncio
import contextlib
import gzip
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from edgecheck.wire import igd, nat_pmp, pcp

IP = "urn:schemas-upnp-org:service:WANIPConnection:1"
PPP = "urn:schemas-upnp-org:service:WANPPPConnection:1"
HTML = b"<html><body>log in first</body></html>"
Mapping = tuple[str, int, str, int, str]
"""Protocol, external port, internal host, internal port, description."""
Writer = asyncio.StreamWriter
Answer = Callable[["StubRouter", Writer], Awaitable[None]]


@dataclass
class StubRouter:
    """What it says, and what it was asked."""

    address: str = "127.0.0.61"
    wan: dict[str, tuple[str, str]] = field(default_factory=lambda: {IP: ("Connected", "203.0.113.1")})
    """By service: status and external address."""
    mappings: list[Mapping] = field(default_factory=list)
    end: int = 713
    """The UPnP error behind the last mapping; 0 = it begins anew with the first."""
    location: str = "/root.xml"
    """A path of its own, or a URL."""
    control: str = "/control"
    base: str = ""
    nat_pmp: bytes | None = nat_pmp.serialize(nat_pmp.ExternalAddress(0, 1, "203.0.113.1"))
    pcp: bytes | None = pcp.serialize(pcp.Response(pcp.ANNOUNCE, 0, 0, 1))
    upnp: bool = True
    describes: Answer | None = None
    """Instead of the description."""
    controls: Answer | None = None
    """Instead of any SOAP answer."""
    asked: list[str] = field(default_factory=list)
    http_port: int = 0
    ssdp_port: int = 0
    control_port: int = 0

    def url(self) -> str:
        """Where its description lies, by its word."""
        return self.location if "://" in self.location else f"http://{self.address}:{self.http_port}{self.location}"

    def description(self) -> bytes:
        """Ours, in the shape of many."""
        services = "".join(
            f"<service><serviceType>{kind}</serviceType><controlURL>{self.control}</controlURL></service>" for kind in self.wan
        )
        base = f"<URLBase>{self.base}</URLBase>" if self.base else ""
        return (
            f'<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">{base}<device><manufacturer>Stub Works</manufacturer>'
            f"<modelName>Stub</modelName><modelNumber>1</modelNumber><deviceList><device><serviceList>{services}</serviceList></device></deviceList>"
            "</device></root>"
        ).encode()

    async def http(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        """One request, one answer, closed."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            action = headers.get("soapaction", "").strip('"')
            self.asked.append(f"{first.rpartition(' ')[0]} {action.partition('#')[2]}".strip())
            if action:
                await (self.controls(self, writer) if self.controls else self._soap(action, body, writer))
            elif self.describes:
                await self.describes(self, writer)
            else:
                await send(writer, self.description())
        writer.close()

    async def _soap(self, action: str, body: bytes, writer: Writer) -> None:
        kind, _, name = action.partition("#")
        status, address = self.wan[kind]
        if name == "GetStatusInfo":
            await send(writer, soap(kind, name, NewConnectionStatus=status))
        elif name == "GetExternalIPAddress":
            await send(writer, soap(kind, name, NewExternalIPAddress=address))
        else:
            index = int(body.partition(b"<NewPortMappingIndex>")[2].partition(b"<")[0])
            if self.mappings and (index < len(self.mappings) or not self.end):
                transport, external, host, internal, words = self.mappings[index % len(self.mappings)]
                await send(
                    writer,
                    soap(
                        kind, name, NewRemoteHost="", NewExternalPort=external, NewProtocol=transport, NewInternalPort=internal,
                        NewInternalClient=host, NewEnabled=1, NewPortMappingDescription=words, NewLeaseDuration=0,
                    ),
                )  # fmt: skip
            else:
                fault = f"<UPnPError><errorCode>{self.end}</errorCode><errorDescription>no more</errorDescription></UPnPError>"
                await send(writer, f"<Envelope><Body><Fault><detail>{fault}</detail></Fault></Body></Envelope>".encode(), "500 no")


def soap(kind: str, name: str, **values: object) -> bytes:
    """A SOAP answer."""
    told = "".join(f"<{key}>{value}</{key}>" for key, value in values.items())
    return f'<s:Envelope xmlns:s="x"><s:Body><u:{name}Response xmlns:u="{kind}">{told}</u:{name}Response></s:Body></s:Envelope>'.encode()


async def send(writer: Writer, body: bytes, status: str = "200 OK", headers: str = "") -> None:
    """A whole HTTP answer."""
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n".encode() + body)
    await writer.drain()


# ------------------------------------------------------------------------------------------------------------------------ hostile


async def giant(router: StubRouter, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<root>")
    for _ in range(100_000):  # it would be three gigabytes
        writer.write(b"<a>" * 10_000)
        await writer.drain()
        if writer.is_closing():
            return


async def drip(router: StubRouter, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    for _ in range(10_000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def silent(router: StubRouter, writer: Writer) -> None:
    await asyncio.sleep(60)


async def elsewhere(router: StubRouter, writer: Writer) -> None:
    await send(writer, b"", "302 Found", f"Location: http://127.0.0.62:{router.http_port}/root.xml\r\n")


async def compressed(router: StubRouter, writer: Writer) -> None:
    await send(writer, gzip.compress(b" " * 5_000_000), headers="Content-Encoding: gzip\r\n")


async def no_http(router: StubRouter, writer: Writer) -> None:
    writer.write(b"\0\x01 what?\r\n\r\n")
    await writer.drain()


async def long_headers(router: StubRouter, writer: Writer) -> None:
    await send(writer, b"", headers=f"X: {'y' * 100_000}\r\n")


def says(body: bytes) -> Answer:
    async def answer(router: StubRouter, writer: Writer) -> None:
        await send(writer, body)

    return answer


BILLION = b"<!DOCTYPE r [" + b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"ha" * 10) for n in range(10)
) + b"]><root><device><modelName>&a9;</modelName></device></root>"
DEEP = b"<a>" * (igd.MAX_DESCRIPTION // 7) + b"</a>" * (igd.MAX_DESCRIPTION // 7)
HOSTILE: dict[str, Answer] = {
    "giant": giant,
    "redirect": elsewhere,
    "compressed": compressed,
    "no http": no_http,
    "long headers": long_headers,
    "entities": says(BILLION),
    "deep": says(DEEP),
    "login page": says(HTML),
    "nothing": says(b""),
}


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = self._answer(data)
        if answer is not None:
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def running(router: StubRouter, ssdp_port: int = 0, control_port: int = 0) -> AsyncIterator[StubRouter]:
    """Serve while the block lasts."""
    loop = asyncio.get_running_loop()

    def search(data: bytes) -> bytes | None:
        router.asked.append(f"M-SEARCH {data.partition(b'ST: ')[2].strip().decode().rpartition('schemas-upnp-org:')[2]}")
        target = igd.TARGETS[0]
        return f"HTTP/1.1 200 OK\r\nST: {target}\r\nSERVER: Stub/1.0 UPnP/1.1\r\nLOCATION: {router.url()}\r\n\r\n".encode() if router.upnp else None

    def control(data: bytes) -> bytes | None:
        router.asked.append(f"{data[0]}/{data[1]} in {len(data)} bytes")
        return router.nat_pmp if data[:1] == b"\0" else router.pcp

    server = await asyncio.start_server(router.http, router.address, 0)
    router.http_port = server.sockets[0].getsockname()[1]
    ssdp, _ = await loop.create_datagram_endpoint(lambda: _Udp(search), local_addr=(router.address, ssdp_port))
    port_control, _ = await loop.create_datagram_endpoint(lambda: _Udp(control), local_addr=(router.address, control_port))
    router.ssdp_port, router.control_port = ssdp.get_extra_info("sockname")[1], port_control.get_extra_info("sockname")[1]
    try:
        yield router
    finally:
        ssdp.close()
        port_control.close()
        server.close()


async def _serve(options: dict[str, Any]) -> None:
    """``{"address": ..., "says": WAN address, "hostile": name, "mappings": [...]}``, on the standard ports; no NAT-PMP, no PCP."""
    router = StubRouter(address=options["address"], nat_pmp=None, pcp=None, wan={IP: ("Connected", options.get("says", ""))})
    router.mappings = [tuple(one) for one in options.get("mappings", ())]
    router.describes = HOSTILE.get(options.get("hostile", ""))
    async with running(router, ssdp_port=1900, control_port=nat_pmp.PORT):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
