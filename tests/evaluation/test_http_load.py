"""The load generator counts what the service does, and not what connections do that nobody used."""

import socket
import threading

from imagescreen.evaluation.http_load import Request, run_load

ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"


def _answer_once_each(listening: socket.socket, connections: int) -> None:
    """As a server whose idle connections are closed at once."""
    for _ in range(connections):
        connection, _ = listening.accept()
        with connection:
            while b"\r\n\r\n" not in connection.recv(1 << 16):
                pass
            connection.sendall(ANSWER)


def test_a_connection_that_was_closed_while_it_was_idle_is_opened_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=_answer_once_each, args=(listening, 3), daemon=True)
        server.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        result = run_load(url, lambda _: Request("/", [], "text/plain"), clients=1, requests=3)
        server.join(30)
    assert result.statuses == {201: 3}


def test_a_server_that_is_not_there_is_counted_as_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    result = run_load(url, lambda _: Request("/", [], "text/plain"), clients=1, requests=2)
    assert result.statuses == {0: 2}
