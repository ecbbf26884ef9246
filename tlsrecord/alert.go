package tlsrecord

import "crypto/tls"

// Alert is what the server tells the client before it closes: RFC 8446 6, RFC 5246 7.2.
type Alert uint8

const (
	CloseNotify       Alert = 0
	UnexpectedMessage Alert = 10 // also: too many records without data
	BadRecordMAC      Alert = 20
	RecordOverflow    Alert = 22
	IllegalParameter  Alert = 47
	DecodeError       Alert = 50
	ProtocolVersion   Alert = 70
	InternalError     Alert = 80
	userCanceled      Alert = 90
	NoRenegotiation   Alert = 100
)

const (
	levelWarning = 1
	levelFatal   = 2
)

func (a Alert) Error() string { return tls.AlertError(a).Error() }

// PeerAlert is what the client tells before it closes. Nothing is to be answered.
type PeerAlert uint8

func (a PeerAlert) Error() string { return "from the client: " + tls.AlertError(a).Error() }
