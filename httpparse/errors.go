package httpparse

import "errors"

// ErrIncomplete says that the bytes so far are valid, and that more are needed.
var ErrIncomplete = errors.New("incomplete request head")

// Error is a refusal: the status to answer with, and a sentence for whoever reads the
// answer. All values are the variables below; compare them by identity.
type Error struct {
	Status int
	Text   string
}

// Error returns Text.
func (e *Error) Error() string { return e.Text }

// Refusals of a request head, in the order in which it is read. RFC 9112 allows a
// recipient to be lenient; this package is not, because every leniency is a way to
// disagree with a proxy about where a request ends: CRLF is the only line end, no folded
// fields, no white space around a field name or a chunk size, one framing per request,
// one Host.
var (
	ErrBadRequestLine     = &Error{400, "the request line is not METHOD SP TARGET SP HTTP/d.d"}
	ErrBadTarget          = &Error{400, "the request target has no form that fits the method"}
	ErrFragment           = &Error{400, "the request target has a fragment (#), which is not for servers"}
	ErrLongMethod         = &Error{501, "the method is longer than any known one"}
	ErrRequestLineTooLong = &Error{414, "the request line is too long"}
	ErrVersion            = &Error{505, "the HTTP version is neither 1.0 nor 1.1"}

	ErrLineEnd        = &Error{400, "a line of the header does not end with CRLF"}
	ErrFieldName      = &Error{400, "a field name is empty or has a character that is not allowed"}
	ErrFieldFold      = &Error{400, "a field is folded over several lines"}
	ErrFieldValue     = &Error{400, "a field value has a control character"}
	ErrHeaderTooLarge = &Error{431, "the header section is too large"}
	ErrTooManyFields  = &Error{431, "the header section has too many fields"}

	ErrNoHost             = &Error{400, "Host is missing"}
	ErrRepeatedHost       = &Error{400, "Host is repeated"}
	ErrBadHost            = &Error{400, "Host has a character that is not allowed"}
	ErrContentLength      = &Error{400, "Content-Length is not a number"}
	ErrContentLengths     = &Error{400, "two Content-Length values differ"}
	ErrTwoFramings        = &Error{400, "Content-Length and Transfer-Encoding are both given"}
	ErrTransferEncoding   = &Error{400, "Transfer-Encoding is empty or repeated"}
	ErrTransferEncoding10 = &Error{400, "Transfer-Encoding is not part of HTTP/1.0"}
	ErrTransferCoding     = &Error{501, "the only transfer coding known is chunked"}
	ErrBodyTooLarge       = &Error{413, "the body is too large"}
	ErrExpectation        = &Error{417, "the only expectation known is 100-continue"}
)

// Refusals of a chunked body.
var (
	ErrChunkSize         = &Error{400, "a chunk size is not a hexadecimal number"}
	ErrChunkExtension    = &Error{400, "a chunk extension has a control character"}
	ErrChunkEnd          = &Error{400, "a chunk does not end with CRLF"}
	ErrTrailer           = &Error{400, "a trailer field is not valid"}
	ErrChunkMetaTooLarge = &Error{431, "chunk extensions and trailers are too large"}
)

// Refusals of parameters.
var (
	ErrEscape = &Error{400, "a % escape is broken"}
	ErrNUL    = &Error{400, "a NUL byte is not allowed"}

	ErrBodyType    = &Error{415, "the body is neither a form (application/x-www-form-urlencoded) nor JSON (application/json)"}
	ErrBodyLines   = &Error{415, "the body is not of type application/x-ndjson"}
	ErrBodyCoding  = &Error{415, "the body has a Content-Encoding: send it without"}
	ErrBodyNotForm = &Error{415, "the body begins as JSON, but its Content-Type does not say so: application/json is needed"}
	ErrBodyCharset = &Error{415, "the body is not in UTF-8"}

	ErrJSONObject = &Error{400, "the JSON body is not one object"}
	ErrJSONValue  = &Error{400, "a JSON value is neither a string nor a number"}
	ErrJSONString = &Error{400, "a JSON string is not valid"}
	ErrJSONNumber = &Error{400, "a JSON number is not valid"}
)
