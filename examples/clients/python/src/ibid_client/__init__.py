"""Client of Ibid: answers with sources, streamed, with cancellation and resumable uploads."""

from .answer import Answer, Citation, Complete, Status
from .client import Client, UploadResult
from .errors import IbidError

__all__ = ["Answer", "Citation", "Client", "Complete", "IbidError", "Status", "UploadResult"]
