// Does with the AWS SDK v3 for JavaScript, in its default settings, what the
// end-to-end tests ask for: a line of JSON, [verb, argument, …], on standard
// input each time, and a line of JSON with the answer or the error on standard
// output.
import { createReadStream, createWriteStream } from "node:fs";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import {
  CopyObjectCommand, CreateBucketCommand, DeleteObjectCommand, GetObjectCommand, paginateListObjectsV2, ListObjectVersionsCommand, S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const s3 = new S3Client({ forcePathStyle: true });

const verbs = {
  async mb(Bucket) {
    await s3.send(new CreateBucketCommand({ Bucket }));
  },
  async up(file, Bucket, Key) {
    await new Upload({ client: s3, params: { Bucket, Key, Body: createReadStream(file) } }).done();
  },
  async down(Bucket, Key, file) {
    const got = await s3.send(new GetObjectCommand({ Bucket, Key }));
    await pipeline(got.Body, createWriteStream(file));
  },
  async list(Bucket, Prefix) {
    const keys = [];
    for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket, Prefix })) {
      for (const o of page.Contents ?? []) keys.push(o.Key);
    }
    return keys;
  },
  async part(Bucket, Key, part) {
    return (await s3.send(new GetObjectCommand({ Bucket, Key, Range: "bytes=" + part }))).Body.transformToString();
  },
  async presign(Bucket, Key) {
    return getSignedUrl(s3, new GetObjectCommand({ Bucket, Key }));
  },
  async versions(Bucket, Prefix) {
    const got = await s3.send(new ListObjectVersionsCommand({ Bucket, Prefix }));
    return (got.Versions ?? []).filter((v) => v.Key === Prefix).map((v) => v.VersionId);
  },
  async copy(Bucket, source, Key) {
    await s3.send(new CopyObjectCommand({ Bucket, CopySource: Bucket + "/" + encodeURIComponent(source), Key }));
  },
  async rm(Bucket, Key) {
    await s3.send(new DeleteObjectCommand({ Bucket, Key }));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...args] = JSON.parse(line);
  let answer;
  try {
    answer = { ok: (await verbs[verb](...args)) ?? null };
  } catch (e) {
    answer = { error: String(e) };
  }
  console.log(JSON.stringify(answer));
}
