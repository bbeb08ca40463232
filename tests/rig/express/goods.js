// What both Express sellers sell, and their witness: the same as goods.py has it.
import { createHash } from "node:crypto";
import express from "express";

export const PRICES_USD = {
  "GET /paid": "0.01",
  "POST /echo-paid": "0.02",
  "GET /paid-stream": "0.01",
  "GET /paid-fails": "0.01",
};
const STREAM_EVENTS = 3;
const STREAM_PAUSE_MS = 200;

export function witness() {
  const seen = [];
  return (request, response, next) => {
    if (request.path === "/-/seen") return response.json(seen);
    seen.push(sighting(request));
    next();
  };
}

export function addGoods(app) {
  app.get("/paid", (_, response) => response.json({ goods: "delivered" }));
  app.get("/price", (request, response) => response.json({ goods: request.query.usd }));
  app.post("/echo-paid", express.raw({ type: () => true, limit: "64mb" }), (request, response) => {
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const sha256 = createHash("sha256").update(body).digest("hex");
    response.json({ sha256, body: body.toString("latin1") });
  });
  app.get("/paid-fails", (_, response) => response.status(500).json({ goods: "broken" }));
  app.get(["/paid-stream", "/free-stream"], stream);
  app.get("/free", (_, response) => response.json({ goods: "free" }));
}

export function listen(app) {
  const server = app.listen(0, "127.0.0.1", () => {
    console.log(JSON.stringify({ port: server.address().port }));
  });
}

async function stream(_, response) {
  response.type("text/event-stream");
  for (let number = 0; number < STREAM_EVENTS; number += 1) {
    response.write(`data: ${number}\n\n`);
    await new Promise((resolve) => setTimeout(resolve, STREAM_PAUSE_MS));
  }
  response.end();
}

function sighting(request) {
  const { method, path, headers } = request;
  const header = headers["payment-signature"] ?? headers["x-payment"];
  const seen = { method, path, headers: Object.keys(headers).sort(), from: null, nonce: null };
  if (header === undefined) return seen;
  const { authorization, signature } = JSON.parse(Buffer.from(header, "base64")).payload;
  return { ...seen, from: authorization.from, nonce: authorization.nonce, value: authorization.value, signature };
}
