"""Every operation of lakeFS's API document, with and without credentials, with and without a body, and with methods that are not its own."""

import base64
import http.client
import json
import pathlib
import re

OPERATIONS = pathlib.Path(__file__).parents[2] / "data" / "operations.tsv"
# What would take the only user away, or set the server up again.
NEVER = ("setup", "setupCommPrefs", "deleteUser")
VALUES = {"branch": "main", "ref": "main", "sourceRef": "main", "destinationBranch": "side", "leftRef": "main~1", "rightRef": "main", "commitId": "main", "tag": "none", "partNumber": "1", "userId": "nobody"}
QUERIES = ("", "path=a%2Fb.txt", "amount=2&prefix=a", "ref=main", "path=a%2Fb.txt&dest_path=c&run_id=x&presign=true")
BODIES = {
    "uploadObject": "content",
    "commit": json.dumps({"message": "m", "allow_empty": True}),
    "createBranch": json.dumps({"name": "made", "source": "main"}),
    "createTag": json.dumps({"id": "v1", "ref": "main"}),
    "createCommitRecord": "{}",
}


def run(place):
    basic = {"Authorization": "Basic " + base64.b64encode(f"{place.key}:{place.secret}".encode()).decode()}

    def send(method, target, headers, body=None):
        connection = place.connection()
        if body is not None:
            headers = {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
        elif method in ("POST", "PUT"):
            headers = {**headers, "Content-Length": "0"}
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body.encode() if body else None)
        try:
            connection.getresponse().read()
        except http.client.RemoteDisconnected:
            pass  # some requests make lakeFS panic: that too must be the same
        connection.close()

    api = f"/api/v1/repositories/{place.name}"
    send("POST", "/api/v1/repositories", basic, json.dumps({"name": place.name, "storage_namespace": place.namespace}))
    send("POST", f"{api}/branches", basic, json.dumps({"name": "side", "source": "main"}))
    send("POST", f"{api}/branches/main/objects?path=a%2Fb.txt", basic, "content")
    send("POST", f"{api}/branches/main/commits", basic, json.dumps({"message": "first"}))
    lines = [line.split("\t") for line in OPERATIONS.read_text().splitlines() if not line.startswith("#")]
    for operation, method, path, *_ in lines:
        if operation in NEVER:
            continue
        values = {"repository": "none-such" if operation in ("deleteRepository", "deleteRepositoryMetadata") else place.name, **VALUES}
        target = "/api/v1" + re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "x"), path)
        send(method, target, {})
        for query in QUERIES if method in ("GET", "HEAD") else QUERIES[1:2] if "object" in path else ("", "path=a"):
            send(method, f"{target}?{query}" if query else target, basic, BODIES.get(operation, "{}") if method in ("POST", "PUT") else None)
        if method in ("POST", "PUT"):
            send(method, target, basic)
        for other in {"HEAD", "OPTIONS", "PATCH"} - {method}:
            send(other, target, basic)
