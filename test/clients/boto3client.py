"""Does with boto3, in its default settings, what the end-to-end tests ask for:
a line of JSON, [verb, argument, ...], on standard input each time, and a line
of JSON with the answer or the error on standard output."""
import json
import os
import sys

import boto3
from botocore.exceptions import ClientError, ParamValidationError

s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def pages(operation, found, **args):
    for page in s3.get_paginator(operation).paginate(**args):
        yield from page.get(found, [])


def versions(bucket, key):
    return [v["VersionId"] for v in pages("list_object_versions", "Versions", Bucket=bucket, Prefix=key) if v["Key"] == key]


def quirks(bucket):
    """Checks what only a script can see, in a bucket of its own."""
    s3.create_bucket(Bucket=bucket)
    ids = [s3.put_object(Bucket=bucket, Key="k", Body=b"v%d" % i, Metadata={"n": str(i)})["VersionId"] for i in range(5)]
    for i, version in enumerate(ids):
        o = s3.get_object(Bucket=bucket, Key="k", VersionId=version)
        assert o["Body"].read() == b"v%d" % i and o["Metadata"] == {"n": str(i)}
    assert versions(bucket, "k") == ids[::-1]
    try:
        s3.put_object(Bucket=bucket, Key="k", Body=b"", IfNoneMatch="*")
        assert False, "a condition that does not hold"
    except ClientError as e:
        assert e.response["Error"]["Code"] == "PreconditionFailed"
    except ParamValidationError:
        pass  # an SDK of before conditional writes
    s3.put_object(Bucket=bucket, Key="n" * 1024, Body=b"long")
    assert s3.get_object(Bucket=bucket, Key="n" * 1024, Range="bytes=-2")["Body"].read() == b"ng"
    for key in ["a", "a/b", "a/", "x/y"]:
        s3.put_object(Bucket=bucket, Key="n/" + key, Body=key.encode())
    assert [o["Key"] for o in pages("list_objects_v2", "Contents", Bucket=bucket, Prefix="n/")] == ["n/a", "n/a/", "n/a/b", "n/x/y"]
    removed = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "n/a"}, {"Key": "n/a/"}, {"Key": "n/a/b"}]})
    assert len(removed["Deleted"]) == 3 and "Errors" not in removed


VERBS = {
    "mb": lambda bucket: s3.create_bucket(Bucket=bucket) and None,
    "up": lambda file, bucket, key: s3.upload_file(file, bucket, key),
    "down": lambda bucket, key, file: s3.download_file(bucket, key, file),
    "list": lambda bucket, prefix: [o["Key"] for o in pages("list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix)],
    "part": lambda bucket, key, part: s3.get_object(Bucket=bucket, Key=key, Range="bytes=" + part)["Body"].read().decode(),
    "presign": lambda bucket, key: s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}),
    "versions": versions,
    "copy": lambda bucket, source, key: s3.copy({"Bucket": bucket, "Key": source}, bucket, key),
    "rm": lambda bucket, key: s3.delete_object(Bucket=bucket, Key=key) and None,
    "quirks": quirks,
}

for line in sys.stdin:
    verb, *args = json.loads(line)
    try:
        answer = {"ok": VERBS[verb](*args)}
    except Exception as e:  # whatever it is, the test is to say it
        answer = {"error": repr(e)}
    print(json.dumps(answer), flush=True)
