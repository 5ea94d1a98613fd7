"""Errors of the org: `ApiError` rejects a whole request, `RowError` rejects one row."""


class ApiError(Exception):
    """The request is rejected. As in Salesforce, the response is an array with one error.

    Attributes:
        status: HTTP status.
        code: Salesforce's `errorCode`.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status, self.code, self.message = status, code, message

    @property
    def body(self) -> list[dict[str, str]]:
        """Return the response's body."""
        return [{"message": self.message, "errorCode": self.code}]


class RowError(Exception):
    """One row is rejected. The other rows of the request are not affected."""

    def __init__(self, code: str, message: str, *fields: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.fields = code, message, fields

    @property
    def bulk_text(self) -> str:
        """Return the text of `sf__Error` in a bulk job's failed results."""
        return f"{self.code}:{self.message}:{' '.join((*self.fields, '--'))}"

    @property
    def body(self) -> dict[str, object]:
        """Return one entry of `errors` in a response of the collections calls."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields)}


def unknown_column(sobject: str, name: str) -> ApiError:
    """Return the error for a field that the object does not have."""
    return ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject}")


def unknown_object(name: str) -> ApiError:
    """Return the error for an object that the org does not have."""
    return ApiError(404, "NOT_FOUND", f"The requested resource does not exist: {name}")
