/** Types of icomet.mjs; they are described in icomet.d.ts. */

import iComet from './icomet.js';

export type Transport = iComet.Transport;
export type State = iComet.State;
export type Options = iComet.Options;
export type Channel = iComet.Channel;
export type ChannelOptions = iComet.ChannelOptions;
export type EventMap = iComet.EventMap;
export { iComet, iComet as default };
