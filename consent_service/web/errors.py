"""Answers whatever is raised, at the outermost door: nothing leaves as a stack trace or in a library's words."""

from collections.abc import Callable
from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from consent_service.web import problems, request_log
from consent_service.web.problems import Problem

PageRenderer = Callable[[Problem], Response]


def register(app: Flask, *, render_page: PageRenderer) -> None:
    """Answer every exception of this application: people get a page, programs a problem."""

    def answer(error: Exception) -> BaseResponse:
        if isinstance(error, HTTPException) and error.code is not None and error.code < HTTPStatus.BAD_REQUEST:
            return error.get_response()
        problem = problems.of_exception(error)
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            request_log.remember_failure(error)
        return _page(problem) if _is_read_by_a_person() else problems.render(problem)

    def _page(problem: Problem) -> BaseResponse:
        try:
            return render_page(problem)
        except Exception as error:  # noqa: BLE001 - the last door before a library's own stack trace
            request_log.remember_failure(error)
            return problems.render(problem)

    app.register_error_handler(Exception, answer)


def _is_read_by_a_person() -> bool:
    if request.path.startswith("/v1/"):
        return False
    # A browser names text/html first; a program that sends */* or nothing gets the problem.
    return request.accept_mimetypes.best_match([problems.MEDIA_TYPE, "text/html"]) == "text/html"
