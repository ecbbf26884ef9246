package wsframe

import "icomet/httpparse"

// Close codes that a server sends (RFC 6455 section 7.4.1).
const (
	CodeNormal      = 1000
	CodeGoingAway   = 1001
	CodeProtocol    = 1002
	CodeUnsupported = 1003
	CodeNone        = 1005 // never on the wire: a close frame without a code
	CodeText        = 1007
	CodePolicy      = 1008
	CodeTooLarge    = 1009
)

// Error is why a connection fails: the code of the close frame to send, and a sentence
// for its reason. All values are the variables below; compare them by identity.
type Error struct {
	Code uint16
	Text string
}

// Error returns Text.
func (e *Error) Error() string { return e.Text }

// What a client can do wrong.
var (
	ErrReservedBit    = &Error{CodeProtocol, "a reserved bit is set"}
	ErrReservedOpcode = &Error{CodeProtocol, "the opcode is reserved"}
	ErrControlPart    = &Error{CodeProtocol, "a control frame is fragmented"}
	ErrControlLength  = &Error{CodeProtocol, "a control frame has more than 125 bytes"}
	ErrNoStart        = &Error{CodeProtocol, "a continuation without a start"}
	ErrNoEnd          = &Error{CodeProtocol, "a new message before the end of the one before"}
	ErrNotMasked      = &Error{CodeProtocol, "a frame is not masked"}
	ErrLengthForm     = &Error{CodeProtocol, "a length is not in its shortest form"}
	ErrLengthTopBit   = &Error{CodeProtocol, "a length has its top bit set"}
	ErrCloseLength    = &Error{CodeProtocol, "a close frame has half a code"}
	ErrCloseCode      = &Error{CodeProtocol, "a close code is not one that may be sent"}
	ErrCloseReason    = &Error{CodeText, "the reason of a close frame is not UTF-8"}
	ErrBinary         = &Error{CodeUnsupported, "messages are text, not binary"}
	ErrText           = &Error{CodeText, "a text is not UTF-8"}
	ErrTooLarge       = &Error{CodeTooLarge, "the message is too large"}
)

// Refusals of a handshake, in the order in which it is judged. The answer to ErrVersion
// needs the field Sec-WebSocket-Version: 13.
var (
	ErrMethod     = &httpparse.Error{Status: 400, Text: "a WebSocket handshake is a GET request"}
	ErrHTTP10     = &httpparse.Error{Status: 400, Text: "a WebSocket handshake needs HTTP/1.1"}
	ErrBody       = &httpparse.Error{Status: 400, Text: "a WebSocket handshake has no body"}
	ErrUpgrade    = &httpparse.Error{Status: 400, Text: "this is for WebSocket: Upgrade: websocket is missing"}
	ErrConnection = &httpparse.Error{Status: 400, Text: "this is for WebSocket: Connection: upgrade is missing"}
	ErrVersion    = &httpparse.Error{Status: 426, Text: "the only WebSocket version is 13"}
	ErrKey        = &httpparse.Error{Status: 400, Text: "Sec-WebSocket-Key is not 16 bytes in base64"}
)
