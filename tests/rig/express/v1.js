// A version 1 seller: Express with the official x402-express middleware.
// Run as `node v1.js FACILITATOR_URL PAY_TO`. The middleware has no prices by query.
import express from "express";
import { paymentMiddleware } from "x402-express";

import { addGoods, listen, PRICES_USD, witness } from "./goods.js";

const [facilitatorUrl, payTo] = process.argv.slice(2);
// This SDK multiplies prices as floats; 2.01 goes out as "2009999.9999999998".
const prices = { ...PRICES_USD, "GET /paid-oddly": "2.01" };
const routes = Object.fromEntries(
  Object.entries(prices).map(([route, usd]) => [route, { price: `$${usd}`, network: "base-sepolia" }]),
);
const app = express();
app.use(witness());
app.use(paymentMiddleware(payTo, routes, { url: facilitatorUrl }));
addGoods(app);
listen(app);
