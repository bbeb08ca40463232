// A version 2 seller: Express with the official @x402/express middleware.
// Run as `node v2.js FACILITATOR_URL PAY_TO`.
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";

import { addGoods, listen, PRICES_USD, witness } from "./goods.js";

const NETWORK = "eip155:84532";
const [facilitatorUrl, payTo] = process.argv.slice(2);
const costs = (price) => ({ accepts: { scheme: "exact", network: NETWORK, payTo, price } });
const routes = Object.fromEntries(
  Object.entries(PRICES_USD).map(([route, usd]) => [route, costs(`$${usd}`)]),
);
routes["GET /price"] = costs((context) => `$${context.adapter.getQueryParam("usd")}`);

const facilitator = new HTTPFacilitatorClient({ url: facilitatorUrl });
const seller = new x402ResourceServer(facilitator).register(NETWORK, new ExactEvmScheme());
const app = express();
app.use(witness());
app.use(paymentMiddleware(routes, seller));
addGoods(app);
listen(app);
