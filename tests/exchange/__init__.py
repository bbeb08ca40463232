"""The exchange: a real daemon between a real client and providers that log every byte."""
