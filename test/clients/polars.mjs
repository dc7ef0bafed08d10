// Does with Polars what the end-to-end tests ask for, as awsjs.mjs does: "make"
// writes a Parquet file of as many rows as asked, "sum" scans one, or all that a
// pattern names, for the sum of a column where another has a value.
import { createInterface } from "node:readline";
import pl from "nodejs-polars";

const cloudOptions = {
  aws_endpoint_url: process.env.AWS_ENDPOINT_URL,
  aws_access_key_id: process.env.AWS_ACCESS_KEY_ID,
  aws_secret_access_key: process.env.AWS_SECRET_ACCESS_KEY,
  aws_region: process.env.AWS_REGION,
  aws_allow_http: "true",
};

const verbs = {
  async make(file, rows) {
    const n = Array.from({ length: Number(rows) }, (_, i) => i);
    pl.DataFrame({ n, odd: n.map((i) => i % 2), text: n.map((i) => "row " + i) }).writeParquet(file);
  },
  async sum(url) {
    const frame = await pl.scanParquet(url, { cloudOptions }).filter(pl.col("odd").eq(1)).select(pl.col("n").sum()).collect();
    return frame.toRecords()[0].n;
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
