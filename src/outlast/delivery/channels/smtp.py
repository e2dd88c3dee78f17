"""E-mail over SMTP, with TLS and nothing less unless it stays on this machine."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import re
import smtplib
import socket
import ssl
from datetime import UTC, datetime
from email import charset
from email.header import Header
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime
from typing import Literal

import msgspec

from outlast.core.errors import BadInput
from outlast.core.notice_text import one_line
from outlast.delivery.channels.base import Message, SendFailed, readable, safe_id
from outlast.delivery.channels.threads import Threads

TIMEOUT_SECONDS = 30.0
"""From the first question for an address to the server's word that it has the mail."""
GOODBYE_SECONDS = 1.0
ADDRESS_MAX = 254
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
    re.ASCII,
)
_QUOTED = charset.Charset("utf-8")
_QUOTED.body_encoding = charset.QP
_MAIL_POLICY = compat32.clone(linesep="\r\n")
_HERE = ("localhost", "127.0.0.1", "::1")

Security = Literal["starttls", "tls", "none"]


class SmtpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The server mail is handed to.

    ``security``: ``starttls`` begins in the open and must go over to TLS, ``tls`` is TLS from the first byte, ``none``
    is allowed without a password, or on this machine.
    """

    host: str
    sender: str
    port: int = 587
    security: Security = "starttls"
    username: str = ""
    password: str = ""

    def __post_init__(self) -> None:
        """Raise `BadInput` for settings that cannot work or would give the password away."""
        if not re.fullmatch(r"[A-Za-z0-9._:-]{1,253}", self.host, re.ASCII) or not 0 < self.port < 65_536:
            raise BadInput("the mail server is not a host and a port")
        check_address(self.sender)
        if self.security == "none" and self.username and self.host not in _HERE:
            raise BadInput("a mail password is not sent without TLS", hint="set the security to starttls or tls")


def check_address(text: str) -> str:
    """Return an address of the plain form ``name@host`` in ASCII. Raises `BadInput` with the code ``bad_target``."""
    if len(text) > ADDRESS_MAX or not _ADDRESS.fullmatch(text):
        raise BadInput(
            f"{one_line(text, 60)!r} is not a mail address", code="bad_target", hint="one address, as in me@example.org"
        )
    return text


class Smtp:
    """Mails every message to one address."""

    def __init__(
        self,
        address: str,
        settings: SmtpSettings,
        threads: Threads,
        *,
        tls: ssl.SSLContext | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._address = check_address(address)
        self._settings = settings
        self._threads = threads
        self._tls = tls
        self._timeout = timeout_seconds

    async def send(self, message: Message) -> None:
        """Hand it to the server. Raises SendFailed: for good where the server says 5xx, else it may work later."""
        talk = _Talk(self._settings, self._tls, self._timeout)
        mail = mail_of(message, self._settings.sender, self._address)
        work = functools.partial(talk.hand_over, self._address, mail)
        try:
            async with asyncio.timeout(self._timeout):
                await self._threads.run(work, abort=talk.abort)
        except TimeoutError:
            raise self._failed(f"did not take the mail within {self._timeout:g} s", retryable=True) from None
        except smtplib.SMTPRecipientsRefused as trouble:
            code, words = next(iter(trouble.recipients.values()))
            raise self._failed(f"refused the recipient: {code} {_said(words)}", retryable=code < 500) from None
        except smtplib.SMTPResponseException as trouble:
            what = f"said {trouble.smtp_code} {_said(trouble.smtp_error)}"
            raise self._failed(what, retryable=trouble.smtp_code < 500) from None
        except smtplib.SMTPServerDisconnected:
            raise self._failed("closed the connection", retryable=True) from None
        except smtplib.SMTPNotSupportedError as trouble:
            raise self._failed(f"cannot do what is needed: {trouble}", retryable=False) from None
        except ssl.SSLCertVerificationError as trouble:
            what = f"shows a certificate that is not trusted: {trouble.verify_message}"
            raise self._failed(what, retryable=True) from None
        except OSError as trouble:  # SMTPException is one
            raise self._failed(f"cannot be reached: {trouble.strerror or trouble}", retryable=True) from None

    def _failed(self, what: str, *, retryable: bool) -> SendFailed:
        return SendFailed(f"mail server {self._settings.host} {what}", retryable=retryable)


class _Talk:
    """One conversation with a server, in a thread; `abort` ends it from outside."""

    def __init__(self, settings: SmtpSettings, tls: ssl.SSLContext | None, timeout: float) -> None:
        self._settings = settings
        self._tls = tls
        self._timeout = timeout
        self._smtp: smtplib.SMTP | None = None
        self._aborted = False

    def hand_over(self, address: str, mail: bytes) -> None:
        """Blocks until the server has taken the mail. Raises OSError, which smtplib's errors are."""
        settings = self._settings
        smtp = self._smtp = self._client()
        try:
            code, said = smtp.connect(settings.host, settings.port)
            if code != 220:
                raise smtplib.SMTPConnectError(code, said)
            if self._aborted:
                return
            if settings.security == "starttls":
                smtp.starttls(context=self._trust())
            if settings.username:
                smtp.login(settings.username, settings.password)
            smtp.sendmail(settings.sender, [address], mail)
            self._say_goodbye(smtp)
        finally:
            smtp.close()

    def abort(self) -> None:
        """Make the thread's next step fail; called in the loop."""
        self._aborted = True
        sock = self._smtp.sock if self._smtp is not None else None
        if sock is not None:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass

    def _client(self) -> smtplib.SMTP:
        name = "localhost"  # the default asks a name server who we are
        smtp: smtplib.SMTP
        if self._settings.security == "tls":
            smtp = smtplib.SMTP_SSL(local_hostname=name, timeout=self._timeout, context=self._trust())
        else:
            smtp = smtplib.SMTP(local_hostname=name, timeout=self._timeout)
        # What TLS compares the certificate with. The constructor sets it only where it connects as well, and then
        # there is nothing yet that could be aborted.
        smtp._host = self._settings.host  # type: ignore[attr-defined]
        return smtp

    def _trust(self) -> ssl.SSLContext:
        return self._tls or ssl.create_default_context()

    def _say_goodbye(self, smtp: smtplib.SMTP) -> None:
        assert smtp.sock is not None
        try:
            smtp.sock.settimeout(GOODBYE_SECONDS)
            smtp.quit()
        except OSError:
            pass  # it has the mail


def mail_of(message: Message, sender: str, address: str) -> bytes:
    """Return the mail. Its Message-ID is made of the message's id: a mailbox can drop what comes twice."""
    shown = readable(message)
    # The old message class on purpose: the newer one decodes what looks like an encoded word when a header is set, and
    # writes line ends that come out of it as they are, which makes new headers of a title.
    mail = MIMEText(shown.text + "\n", "plain", _QUOTED)  # type: ignore[arg-type]
    mail["From"] = sender
    mail["To"] = address
    mail["Subject"] = _header(shown.title or shown.kind)  # type: ignore[assignment]
    mail["Date"] = format_datetime(_moment(message.at))
    digest = hashlib.sha256(message.id.encode("utf-8", "surrogatepass")).hexdigest()[:40]
    mail["Message-ID"] = f"<{digest}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Outlast-Id"] = safe_id(message)
    return mail.as_bytes(policy=_MAIL_POLICY)


def _header(text: str) -> Header:
    """Return a text as a header's value: as it is where that is ASCII and cannot be taken for anything else."""
    return Header(text, "us-ascii" if text.isascii() and "=?" not in text else "utf-8")


def _moment(at: float) -> datetime:
    try:
        return datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _said(words: bytes | str) -> str:
    return one_line(words if isinstance(words, str) else words.decode("utf-8", "replace"), 160)
