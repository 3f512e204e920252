"""What is written into a page on its way out."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.early import EarlyScript

PAGE = "<!doctype html><html><head><title>ü</title></head><body><head></body></html>"


async def page(_):
    return HTMLResponse(PAGE)


async def data(_):
    return JSONResponse({"text": "<head>"})


async def pieces(_):
    return StreamingResponse(iter(["<head>", "</head>"]), media_type="text/html")


@pytest.fixture
def client():
    routes = [Route("/", page), Route("/data", data), Route("/pieces", pieces)]
    return TestClient(EarlyScript(Starlette(routes=routes), script="early()"))


def test_a_page_gets_the_script_first_and_once(client):
    answer = client.get("/")
    assert answer.text == PAGE.replace("<head>", "<head><script>early()</script>", 1)
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("path", ["/data", "/pieces"])
def test_everything_else_stays_as_it_is(client, path):
    assert "early()" not in client.get(path).text


def test_a_page_that_is_only_asked_about_stays_as_it_is(client):
    answer = client.head("/")
    assert int(answer.headers["content-length"]) == len(PAGE.encode())
