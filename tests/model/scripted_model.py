#!/usr/bin/env python3
"""A model that follows a script, so that real agent programs can be driven without a model.

    scripted_model.py --script steps.json [--port N] [--log requests.jsonl]

It speaks four wire formats on one port (0, the default, picks a free one; the first line on
standard output is {"port": N}):

    Anthropic Messages   POST /v1/messages            claude    ANTHROPIC_BASE_URL=http://127.0.0.1:N
    OpenAI Responses     POST /v1/responses           codex     base_url = http://127.0.0.1:N/v1
    OpenAI Chat          POST /v1/chat/completions    opencode  baseURL: http://127.0.0.1:N/v1
    Gemini               POST /v1beta/models/..       gemini    GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:N

A script is a list of steps, one per turn of the model:

    {"tool": "hosts_list", "input": {..}}                      call a tool
    {"text": "Now the edit.", "tool": "Write", "input": {..}}  say something, then call a tool
    {"text": "done"}                                           say something and end
    {"status": 529, "error": "overloaded_error", "message": "Overloaded"}   refuse with a status
    "delay": seconds beside any of them waits before answering

* The step is the number of tool results already in the request. The server keeps no state, so
  retries, title generation and other side calls cannot move a conversation along.
* A tool is found among those the client offers by its exact name, else by suffix
  (hosts_list finds mcp__hostler__hosts_list). A request that offers none of the script's tools
  is a side call and gets "ok".
* "{{N.path.to.0.field}}" in an input or text becomes a value of the N-th tool result's JSON, and
  "{{cwd}}" the working directory that the client names in its prompt.
* Every request adds a line to the log: {api, path, model, tools, results, asked, step, reply};
  asked are the texts of the user.
"""

import argparse
import json
import re
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Turn:
    """What a request says, whatever its wire format: the tools offered, the results so far."""

    tools: list
    results: list
    cwd: str | None = None
    asked: list | None = None


@dataclass
class Reply:
    """What the model answers: a text, a tool call, or both in this order; or a refusal."""

    text: str | None = None
    tool: str | None = None
    input: dict | None = None
    refusal: dict | None = None


class Script:
    """The steps, and which of them a request is at."""

    def __init__(self, steps):
        self.steps = steps

    def reply(self, turn):
        wanted = [step["tool"] for step in self.steps if "tool" in step]
        offered = [name for name in turn.tools if any(name.endswith(tool) for tool in wanted)]
        if wanted and not offered:
            return Reply(text="ok")
        at = len(turn.results)
        if at >= len(self.steps):
            return Reply(text="script finished")
        step = self.steps[at]
        time.sleep(step.get("delay", 0))
        if "status" in step:
            return Reply(refusal=step)
        text = fill(step["text"], turn) if "text" in step else None
        if "tool" not in step:
            return Reply(text=text)
        name = find_tool(step["tool"], turn.tools)
        if name is None:
            return Reply(text=f"the tool {step['tool']} is not offered; there are {turn.tools}")
        return Reply(text=text, tool=name, input=fill(step.get("input", {}), turn))


def find_tool(wanted, offered):
    if wanted in offered:
        return wanted
    return next((name for name in offered if name.endswith(wanted)), None)


def fill(value, turn):
    """Replaces {{..}} everywhere in a step's value."""
    if isinstance(value, dict):
        return {key: fill(item, turn) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, turn) for item in value]
    if not isinstance(value, str):
        return value
    return re.sub(r"\{\{(cwd|\d+[\w.]*)\}\}", lambda match: look_up(match.group(1), turn) or match.group(0), value)


def look_up(name, turn):
    if name == "cwd":
        return turn.cwd
    first, *path = name.split(".")
    if int(first) >= len(turn.results):
        return None
    found = json_in(turn.results[int(first)])
    for part in path:
        try:
            found = found[int(part)] if isinstance(found, list) else found[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return found if isinstance(found, str) else json.dumps(found)


def json_in(text):
    """The JSON of a tool result: its structured content where the client passes that on."""
    for candidate in (text, text[max(text.find("{"), 0) :]):
        try:
            found = json.JSONDecoder().raw_decode(candidate.strip())[0]
        except ValueError:
            continue
        inner = found.get("structuredContent") if isinstance(found, dict) else None
        return inner if isinstance(inner, (dict, list)) else found
    return None


def text_of(content):
    """The text of a content field, which every format nests in its own way."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(text_of(part.get("text", part.get("content", "")) if isinstance(part, dict) else part) for part in content)
    if isinstance(content, dict):
        return content.get("text") or json.dumps(content)
    return "" if content is None else str(content)


def cwd_in(request):
    """The working directory a client names in its system prompt or first message."""
    text = json.dumps(request).replace("\\n", "\n").replace("\\\\", "\\")
    found = re.search(r"(?:[Ww]orking directory|<cwd>)[^/\n]{0,20}(/[^\s\"'<`]+)", text)
    return found.group(1).rstrip(".,") if found else None


def new_id(prefix):
    return prefix + uuid.uuid4().hex[:20]


# --- the four wire formats: read(request) -> Turn, and write(request, reply) -> events or an object


class Anthropic:
    name = "anthropic"

    @staticmethod
    def read(request):
        results, asked = [], []
        for message in request.get("messages", []):
            blocks = message.get("content")
            if isinstance(blocks, str) and message.get("role") == "user":
                asked.append(blocks)
            for block in blocks if isinstance(blocks, list) else []:
                if isinstance(block, dict) and block.get("type") == "tool_result":
                    results.append(text_of(block.get("content")))
                elif isinstance(block, dict) and block.get("type") == "text" and message.get("role") == "user":
                    asked.append(block["text"])
        return Turn([tool["name"] for tool in request.get("tools", [])], results, cwd_in(request), asked)

    @staticmethod
    def write(request, reply):
        blocks = []
        if reply.text is not None:
            blocks.append({"type": "text", "text": reply.text})
        if reply.tool:
            blocks.append({"type": "tool_use", "id": new_id("toolu_"), "name": reply.tool, "input": reply.input})
        stop = "tool_use" if reply.tool else "end_turn"
        usage = {"input_tokens": 10, "output_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
        message = {"id": new_id("msg_"), "type": "message", "role": "assistant", "model": request.get("model", "scripted"),
                   "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        if not request.get("stream"):
            return {**message, "content": blocks, "stop_reason": stop}
        events = [{"type": "message_start", "message": message}]
        for index, block in enumerate(blocks):
            events += Anthropic.block_events(index, block)
        events.append({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 10}})
        events.append({"type": "message_stop"})
        return [(event["type"], event) for event in events]

    @staticmethod
    def block_events(index, block):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty, delta = {**block, "input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        return [
            {"type": "content_block_start", "index": index, "content_block": empty},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]


class Responses:
    name = "responses"

    @staticmethod
    def tools(request):
        """Full tool name -> (namespace or None, name); Codex puts a server's tools in a namespace."""
        found = {}
        for tool in request.get("tools", []):
            if tool.get("type") == "function":
                found[tool["name"]] = (None, tool["name"])
            elif tool.get("type") == "namespace":
                for inner in tool.get("tools", []):
                    found[tool["name"] + inner["name"]] = (tool["name"], inner["name"])
        return found

    @staticmethod
    def read(request):
        outputs = ("function_call_output", "custom_tool_call_output")
        items = [item for item in request.get("input", []) if isinstance(item, dict)]
        results = [text_of(item.get("output")) for item in items if item.get("type") in outputs]
        asked = [text_of(item.get("content")) for item in items if item.get("role") == "user"]
        return Turn(list(Responses.tools(request)), results, cwd_in(request), asked)

    @staticmethod
    def write(request, reply):
        items = []
        if reply.text is not None:
            content = [{"type": "output_text", "text": reply.text, "annotations": []}]
            items.append({"type": "message", "id": new_id("msg_"), "role": "assistant", "status": "completed", "content": content})
        if reply.tool:
            namespace, name = Responses.tools(request)[reply.tool]
            call = {"type": "function_call", "id": new_id("fc_"), "call_id": new_id("call_"), "name": name,
                    "arguments": json.dumps(reply.input), "status": "completed"}
            items.append({**call, "namespace": namespace} if namespace else call)
        usage = {"input_tokens": 10, "output_tokens": 10, "total_tokens": 20,
                 "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
        base = {"id": new_id("resp_"), "object": "response", "created_at": int(time.time()), "model": request.get("model"), "output": []}
        done = {**base, "status": "completed", "output": items, "usage": usage}
        if not request.get("stream"):
            return done
        events = [{"type": "response.created", "response": {**base, "status": "in_progress"}}]
        for index, item in enumerate(items):
            events.append({"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress"}})
            if item["type"] == "message":
                events.append({"type": "response.output_text.delta", "item_id": item["id"], "output_index": index, "content_index": 0, "delta": reply.text})
            events.append({"type": "response.output_item.done", "output_index": index, "item": item})
        events.append({"type": "response.completed", "response": done})
        return [(event["type"], {**event, "sequence_number": number}) for number, event in enumerate(events)]


class Chat:
    name = "chat"

    @staticmethod
    def read(request):
        tools = [tool["function"]["name"] for tool in request.get("tools", []) if tool.get("type") == "function"]
        said = {role: [text_of(message.get("content")) for message in request.get("messages", []) if message.get("role") == role]
                for role in ("tool", "user")}
        return Turn(tools, said["tool"], cwd_in(request), said["user"])

    @staticmethod
    def write(request, reply):
        message = {"role": "assistant", "content": reply.text}
        if reply.tool:
            function = {"name": reply.tool, "arguments": json.dumps(reply.input)}
            message["tool_calls"] = [{"index": 0, "id": new_id("call_"), "type": "function", "function": function}]
        finish = "tool_calls" if reply.tool else "stop"
        usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        base = {"id": new_id("chatcmpl-"), "created": int(time.time()), "model": request.get("model")}
        if not request.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
        chunk = {**base, "object": "chat.completion.chunk"}
        return [
            (None, {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]}),
            (None, {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage}),
            (None, "[DONE]"),
        ]


class Gemini:
    name = "gemini"

    @staticmethod
    def read(request):
        tools = [function["name"] for tool in request.get("tools", []) for function in tool.get("functionDeclarations", [])]
        parts = [part for content in request.get("contents", []) for part in content.get("parts", [])]
        answers = [part["functionResponse"].get("response") or {} for part in parts if "functionResponse" in part]
        results = [text_of(answer.get("output", json.dumps(answer))) for answer in answers]
        user = [content for content in request.get("contents", []) if content.get("role") == "user"]
        asked = [part["text"] for content in user for part in content.get("parts", []) if "text" in part]
        return Turn(tools, results, cwd_in(request), asked)

    @staticmethod
    def write(request, reply):
        wants_json = (request.get("generationConfig") or {}).get("responseMimeType") == "application/json"
        parts = []
        if reply.text is not None:
            parts.append({"text": "{}" if wants_json and reply.text == "ok" else reply.text})
        if reply.tool:
            parts.append({"functionCall": {"id": new_id("")[:8], "name": reply.tool, "args": reply.input}})
        answer = {
            "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20},
            "modelVersion": "scripted",
        }
        return [(None, answer)] if request.get("stream") else answer


def wire_format(path):
    if path.endswith("/messages"):
        return Anthropic
    if path.endswith("/responses"):
        return Responses
    if path.endswith("/chat/completions"):
        return Chat
    return Gemini if "enerateContent" in path else None


def refusal_body(wire, step):
    """An error as the format's own service words it."""
    kind, message = step.get("error", "error"), step.get("message", "refused")
    if wire is Anthropic:
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": new_id("req_")}
    if wire is Gemini:
        return {"error": {"code": step["status"], "message": message, "status": kind}}
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


# --- the server


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port, script, log):
        super().__init__(("127.0.0.1", port), Handler)
        self.script = script
        self.log = log
        self.lock = threading.Lock()

    def record(self, entry):
        if self.log:
            with self.lock, open(self.log, "a", encoding="utf-8") as log:
                log.write(json.dumps(entry) + "\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0) or 0))
        out = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return out

    def send_json(self, code, value):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_events(self, events):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for name, value in events:
            text = value if isinstance(value, str) else json.dumps(value)
            self.wfile.write(((f"event: {name}\n" if name else "") + f"data: {text}\n\n").encode())
            self.wfile.flush()

    def do_HEAD(self):
        self.send_json(200, {})

    def do_GET(self):
        if "/models" in self.path:
            model = {"id": "scripted-model", "type": "model", "object": "model", "display_name": "scripted", "created": 0}
            self.send_json(200, {"object": "list", "data": [model], "models": []})
        else:
            self.send_json(404, {"error": {"message": f"no {self.path} here"}})

    def do_POST(self):
        path = self.path.split("?")[0]
        try:
            request = json.loads(self.body() or b"{}")
        except ValueError:
            return self.send_json(400, {"error": {"message": "not JSON"}})
        if path.endswith(("/count_tokens", ":countTokens")):
            return self.send_json(200, {"input_tokens": 100, "totalTokens": 100})
        wire = wire_format(path)
        if wire is None:
            return self.send_json(404, {"error": {"message": f"no {path} here"}})
        if wire is Gemini:
            request["stream"] = "stream" in path
        turn = wire.read(request)
        reply = self.server.script.reply(turn)
        self.server.record({"api": wire.name, "path": path, "model": request.get("model"), "tools": turn.tools,
                            "results": turn.results, "asked": turn.asked, "step": len(turn.results), "reply": vars(reply)})
        if reply.refusal:
            return self.send_json(reply.refusal["status"], refusal_body(wire, reply.refusal))
        answer = wire.write(request, reply)
        return self.send_events(answer) if isinstance(answer, list) else self.send_json(200, answer)


def main():
    arguments = argparse.ArgumentParser(description="A model that follows a script.")
    arguments.add_argument("--script", required=True)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--log")
    arguments = arguments.parse_args()
    with open(arguments.script, encoding="utf-8") as script:
        steps = json.load(script)
    server = Server(arguments.port, Script(steps), arguments.log)
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
