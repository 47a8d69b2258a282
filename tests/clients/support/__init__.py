"""What the suite's tests share: processes, the world behind the gateway, clients, raw HTTP, tokens and cookies."""
