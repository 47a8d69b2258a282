"""The four experimental calls, each sendable in two ways: by the SDK, and raw with the very bytes that the SDK would send."""

import dataclasses
import urllib.parse

import lakefs_sdk

from support import clients, raw

CREATE, COMPLETE, ABORT, HARD_RESET = OPERATIONS = (
    "create_presign_multipart_upload",
    "complete_presign_multipart_upload",
    "abort_presign_multipart_upload",
    "hard_reset_branch",
)
# lakeFS's own operation ids.
IDS = dict(
    zip(
        OPERATIONS,
        ("createPresignMultipartUpload", "completePresignMultipartUpload", "abortPresignMultipartUpload", "hardResetBranch"),
        strict=True,
    )
)
SUCCESS = dict(zip(OPERATIONS, (201, 200, 204, 204), strict=True))


@dataclasses.dataclass(frozen=True)
class Upload:
    """A multipart upload as its create answered, and the parts written so far."""

    repository: str
    branch: str
    path: str
    upload_id: str
    physical_address: str
    presigned_urls: tuple
    etags: tuple = ()

    def put(self, parts):
        """Writes all parts to their presigned URLs."""
        etags = tuple(raw.put_part(url, data) for url, data in zip(self.presigned_urls, parts, strict=True))
        return dataclasses.replace(self, etags=etags)


def create(client, repository, branch, path, parts=1):
    """Creates an upload."""
    made = client.experimental.create_presign_multipart_upload(repository, branch, path, parts=parts)
    return Upload(repository, branch, path, made.upload_id, made.physical_address, tuple(made.presigned_urls or ()))


@dataclasses.dataclass(frozen=True)
class Call:
    """One call with its arguments."""

    operation: str
    repository: str
    branch: str = "work"
    path: str = None
    upload_id: str = None
    physical_address: str = None
    etags: tuple = ()
    parts: int = None
    ref: str = None
    force: bool = None
    user_metadata: dict = None

    @classmethod
    def of(cls, operation, upload, **changes):
        """A complete or an abort of this upload."""
        fields = {name: getattr(upload, name) for name in ("repository", "branch", "path", "upload_id", "physical_address", "etags")}
        return cls(operation, **{**fields, **changes})

    def _completion(self):
        parts = [{"part_number": number, "etag": etag} for number, etag in enumerate(self.etags, 1)]
        body = {"physical_address": self.physical_address, "parts": parts, "user_metadata": self.user_metadata}
        return {name: value for name, value in body.items() if value is not None}

    def by_sdk(self, client):
        """Sends it by the SDK: status and body of the answer."""
        method = getattr(client.experimental, f"{self.operation}_with_http_info")
        place = (self.repository, self.branch)
        if self.operation == CREATE:
            return clients.outcome(method, *place, self.path, parts=self.parts)
        if self.operation == COMPLETE:
            body = lakefs_sdk.CompletePresignMultipartUpload.from_dict(self._completion())
            return clients.outcome(method, *place, self.upload_id, self.path, complete_presign_multipart_upload=body)
        if self.operation == ABORT:
            body = lakefs_sdk.AbortPresignMultipartUpload(physical_address=self.physical_address)
            return clients.outcome(method, *place, self.upload_id, self.path, abort_presign_multipart_upload=body)
        return clients.outcome(method, *place, self.ref, force=self.force)

    def raw(self, url, headers):
        """Sends it raw: the whole answer."""
        branch = f"/api/v1/repositories/{self.repository}/branches/{self.branch}"
        staging, query = f"{branch}/staging/pmpu", {"path": self.path}
        if self.operation == CREATE:
            if self.parts is not None:
                query["parts"] = self.parts
            return raw.send(url, "POST", f"{staging}?{urllib.parse.urlencode(query)}", headers=headers)
        if self.operation == HARD_RESET:
            query = {"ref": self.ref} | ({} if self.force is None else {"force": self.force})
            return raw.send(url, "PUT", f"{branch}/hard_reset?{urllib.parse.urlencode(query)}", headers=headers)
        target = f"{staging}/{urllib.parse.quote(self.upload_id, safe='')}?{urllib.parse.urlencode(query)}"
        if self.operation == COMPLETE:
            return raw.send(url, "PUT", target, headers=headers, body=self._completion())
        return raw.send(url, "DELETE", target, headers=headers, body={"physical_address": self.physical_address})
