import { render } from 'preact';
import { follow } from './api';
import { App } from './app';
import { onSnapshot, onVideo } from './store';
import './style.css';

render(<App />, document.getElementById('app')!);
void follow({ onSnapshot, onVideo });
