// Serves the peer as its documentation says: a pg.Pool, kyselyAdapter, the package's migrator, c15tInstance.
//
// node server.mjs migrate         makes its tables and ends
// node server.mjs serve PORT N    answers on loopback with N processes behind one port
//
// The database comes from PGHOST, PGDATABASE, PGUSER and PGPASSWORD.
import cluster from "node:cluster";
import { serve } from "@hono/node-server";
import { c15tInstance } from "@c15t/backend";
import { kyselyAdapter } from "@c15t/backend/db/adapters/kysely";
import { migrator } from "@c15t/backend/db/migrator";
import { DB } from "@c15t/backend/db/schema";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";

const [command, port, processes] = process.argv.slice(2);

function connect() {
  const database = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool() }) });
  return { database, adapter: kyselyAdapter({ db: database, provider: "postgresql" }) };
}

async function migrate() {
  const { database, adapter } = connect();
  const migration = await migrator({ db: DB.client(adapter), schema: "latest" });
  await migration.execute();
  await database.destroy();
}

function answer() {
  const peer = c15tInstance({
    appName: "bench",
    basePath: "/api/c15t",
    trustedOrigins: ["http://localhost"],
    adapter: connect().adapter,
  });
  serve({ fetch: peer.handler, hostname: "127.0.0.1", port: Number(port) });
}

if (command === "migrate") {
  await migrate();
} else if (cluster.isPrimary) {
  for (let index = 0; index < Number(processes); index += 1) cluster.fork();
  // Whoever starts this waits for it to answer; a process that ends takes the others with it and is noticed.
  cluster.on("exit", () => process.exit(1));
  process.on("SIGTERM", () => process.exit(0));
} else {
  process.on("disconnect", () => process.exit(0));
  answer();
}
