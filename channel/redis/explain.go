package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/redis/rueidis"
)

// explain adds to an error of the start the addresses and what the operator should look
// at.
func (o *Options) explain(err error) error {
	if why := o.why(err); why != "" {
		err = fmt.Errorf("%s: %w", why, err)
	}
	return fmt.Errorf("redis %s: %w", strings.Join(o.Addresses, ","), err)
}

func (o *Options) why(err error) string {
	var refused *rueidis.RedisError
	if errors.As(err, &refused) {
		return whyRefused(refused.Error())
	}
	var untrusted *tls.CertificateVerificationError
	var name x509.HostnameError
	switch {
	case errors.As(err, &name):
		return "its certificate is for another name than the address says"
	case errors.As(err, &untrusted):
		return "its certificate is not trusted (tls_ca)"
	case o.TLS == nil && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)):
		return "it has hung up; perhaps it wants TLS on this port"
	case o.TLS != nil && errors.Is(err, context.DeadlineExceeded):
		return "it does not answer; perhaps it speaks no TLS on this port"
	case errors.Is(err, context.DeadlineExceeded):
		return "it does not answer in time (timeout)"
	}
	return ""
}

func whyRefused(text string) string {
	for _, known := range []struct{ begins, why string }{
		{"NOAUTH", "it wants a password, and none is configured"},
		{"WRONGPASS", "the user name or the password is wrong"},
		{"NOPERM", "this user may not do all that is needed"},
		{"DB index", "there is no such database (db)"},
	} {
		if strings.HasPrefix(text, known.begins) {
			return known.why
		}
	}
	return ""
}
