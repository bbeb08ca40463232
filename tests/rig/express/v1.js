// A version 1 seller: Express with the official x402-express middleware.
// Run as `node v1.js FACILITATOR_URL PAY_TO`. The middleware has no prices by query.
import express from "express";
import { paymentMiddleware } from "x402-express";

import { addGoods, listen, PRICES_USD, witness } from "./goods.js";

const [facilitatorUrl, payTo] = process.argv.slice(2);
const routes = Object.fromEntries(
  Object.entries(PRICES_USD).map(([route, usd]) => [route, { price: `$${usd}`, network: "base-sepolia" }]),
);
const app = express();
app.use(witness());
app.use(paymentMiddleware(payTo, routes, { url: facilitatorUrl }));
addGoods(app);
listen(app);
